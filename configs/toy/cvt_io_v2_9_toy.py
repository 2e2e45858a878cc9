_base_ = ['../cvt_io_v2_9.py']

exec(open('{{ fileDirname }}/toy_1.py').read())
