"""Installs the stand-in for mmcv's operators into site-packages. Everything else is declared in pyproject.toml."""

import os
import sysconfig

import setuptools

SITE_PACKAGES = os.path.relpath(sysconfig.get_path('purelib'), sysconfig.get_path('data'))


class Distribution(setuptools.Distribution):
    """setuptools' editable installations include data files only if ``has_data`` says that there are any."""

    has_data = setuptools.Distribution.has_data_files


setuptools.setup(
    distclass=Distribution,
    data_files=[(SITE_PACKAGES, ['projects/CVT_IO/cvt_io_mmcv_ops.py', 'projects/CVT_IO/cvt_io_mmcv_ops.pth'])],
)
