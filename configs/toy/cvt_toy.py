_base_ = ['../cvt.py']

exec(open('{{ fileDirname }}/toy_1.py').read())
