"""What a labelled key frame is, and its files: classes, label groups, info files, PNG labels.

:mod:`nuscenes` makes them from nuScenes' tables and map.
"""
