_base_ = ['../cvt_io_v3_no_latents.py']

exec(open('{{ fileDirname }}/../_base_/toy_1.py').read())
