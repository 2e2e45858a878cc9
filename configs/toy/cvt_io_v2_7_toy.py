_base_ = ['../cvt_io_v2_7.py']

exec(open('{{ fileDirname }}/../_base_/toy_1.py').read())
