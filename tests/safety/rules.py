"""What the project's Python may not do. Names are written in full, whatever a module imports them as."""

from __future__ import annotations

#: Prefixes of names → what they do. A name is looked up with its longest prefix here.
FORBIDDEN = {
    # Code from texts.
    **dict.fromkeys(('builtins.eval', 'builtins.exec', 'builtins.compile', 'builtins.__import__'), 'runs text as code'),
    **dict.fromkeys(('builtins.__builtins__', 'code', 'codeop', 'imp'), 'runs text as code'),
    **dict.fromkeys(('importlib.util.spec_from_file_location', 'importlib.machinery', 'runpy'), 'runs a file as code'),
    **dict.fromkeys(('mmengine.Config.fromfile', 'mmengine.config.Config.fromfile'), 'runs a config'),
    **dict.fromkeys(('mmengine.Config.fromstring', 'mmengine.config.Config.fromstring'), 'runs a config'),
    **dict.fromkeys(('torch.jit.load', 'torch.package', 'torch.ops.load_library'), 'loads code'),
    'torch.utils.cpp_extension': 'loads code',
    'ctypes': 'calls foreign code',
    # Pickles. Of the module itself, what writes is allowed below.
    **dict.fromkeys(('pickle', '_pickle', 'cPickle', 'pickle5', 'dill', 'cloudpickle', 'jsonpickle'), 'unpickles'),
    **dict.fromkeys(('joblib', 'marshal', 'shelve', 'pandas.read_pickle', 'numpy.lib.format'), 'unpickles'),
    **dict.fromkeys(('mmengine.load', 'mmengine.fileio.load', 'mmcv.load'), 'unpickles what ends in .pkl'),
    **dict.fromkeys(('torch.serialization.add_safe_globals', 'torch.serialization.safe_globals'), 'lets pickles in'),
    **dict.fromkeys(('mmengine.runner.load_checkpoint', 'mmengine.runner.checkpoint'), 'unpickles what it fetches'),
    **dict.fromkeys(('mmengine.runner.CheckpointLoader', 'mmengine.hub'), 'unpickles what it fetches'),
    **dict.fromkeys(('mmdet3d.apis', 'mmdet.apis'), 'unpickles what it fetches'),
    **dict.fromkeys(('torch.hub.load', 'torch.utils.model_zoo'), 'unpickles what it fetches'),
    'yaml': 'builds any object',
    # Programs.
    **dict.fromkeys(('os.system', 'os.popen', 'subprocess.getoutput', 'subprocess.getstatusoutput'), 'starts a shell'),
    **dict.fromkeys(('asyncio.create_subprocess_shell', 'commands', 'popen2', 'pty'), 'starts a shell'),
    **dict.fromkeys((f'os.exec{end}' for end in ('l', 'le', 'lp', 'lpe', 'v', 've', 'vp', 'vpe')), 'starts a program'),
    **dict.fromkeys((f'os.spawn{end}' for end in ('l', 'le', 'lp', 'lpe', 'v', 've', 'vp', 'vpe')), 'starts a program'),
    **dict.fromkeys(('os.posix_spawn', 'os.posix_spawnp', 'subprocess'), 'starts a program'),
    # The network.
    **dict.fromkeys(('socket', 'socketserver', 'ssl', 'http', 'ftplib', 'smtplib', 'telnetlib', 'xmlrpc'), 'network'),
    **dict.fromkeys(('urllib.request', 'urllib3', 'requests', 'httpx', 'aiohttp', 'websockets', 'paramiko'), 'network'),
    **dict.fromkeys(('webbrowser', 'huggingface_hub', 'wandb', 'boto3', 'petrel_client', 'gdown'), 'network'),
    **dict.fromkeys(('torch.hub', 'torchvision.models', 'nltk'), 'network'),
    **dict.fromkeys(('mmengine.fileio.get', 'mmengine.fileio.get_text'), 'network'),
    **dict.fromkeys(('mmengine.get', 'mmengine.get_text'), 'network'),
    **dict.fromkeys(('mmengine.fileio.get_local_path', 'mmengine.fileio.list_from_file'), 'network'),
    **dict.fromkeys(('mmengine.fileio.FileClient', 'mmengine.fileio.get_file_backend'), 'network'),
    # Files.
    **dict.fromkeys(('tempfile.mktemp', 'os.tempnam', 'os.tmpnam'), 'a name that others may take first'),
    **dict.fromkeys(('shutil.unpack_archive', 'tarfile'), 'unpacks an archive'),
}  # fmt: skip
#: Names below those that do no harm.
HARMLESS = (
    *(f'pickle.{name}' for name in ('dump', 'dumps', 'Pickler', 'PickleError', 'PicklingError', 'UnpicklingError')),
    *(f'pickle.{name}' for name in ('HIGHEST_PROTOCOL', 'DEFAULT_PROTOCOL', 'PickleBuffer')),
    *(f'yaml.{name}' for name in ('safe_load', 'safe_load_all', 'safe_dump', 'dump', 'YAMLError', 'SafeLoader')),
    'http.HTTPStatus',
    'torch.hub.get_dir',
    'subprocess.DEVNULL',
    'subprocess.PIPE',
    'subprocess.STDOUT',
    'subprocess.CompletedProcess',
    'subprocess.CalledProcessError',
    'subprocess.TimeoutExpired',
)
PARTLY_HARMLESS = ('http', 'pickle', 'subprocess', 'yaml')
#: Calls of methods, whatever they are of.
METHODS = {
    'extractall': 'unpacks an archive',
    'unpack_archive': 'unpacks an archive',
    'load_checkpoint': "goes through mmengine's loader, which unpickles what it fetches",
    'resume': "goes through mmengine's loader, which unpickles what it fetches",
    'load_or_resume': "goes through mmengine's loader, which unpickles what it fetches",
}
#: Loaders that must be told so in these words.
TOLD = {
    'torch.load': 'weights_only',
    'torch.serialization.load': 'weights_only',
    'torch.hub.load_state_dict_from_url': 'weights_only',
}
#: Keyword of any call → the only value it may have.
ONLY = {
    'weights_only': True,
    'allow_pickle': False,
    'shell': False,
    'verify': True,
    'trust_repo': False,
    'trust_remote_code': False,
}
#: Texts.
TEXTS = {
    'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': "switches PyTorch's guard off",
    '/tmp/': 'a folder that others write to',
}
#: What ``getattr`` of a name that is not written out could reach anything of.
MODULES = ('builtins', 'importlib', 'os', 'pickle', 'shutil', 'subprocess', 'sys', 'torch', 'yaml')
SHELLS = ('bash', 'sh', 'zsh', 'dash', '/bin/sh', '/bin/bash')
#: What a config may call.
CONFIG_CALLS = ('builtins.dict', 'builtins.list', 'builtins.tuple', 'builtins.range')
