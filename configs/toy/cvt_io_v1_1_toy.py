_base_ = ['../cvt_io_v1_1.py']

exec(open('{{ fileDirname }}/../_base_/toy_1.py').read())
