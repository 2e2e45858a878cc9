_base_ = ['../cvt.py']

exec(open('{{ fileDirname }}/../_base_/toy_1.py').read())
