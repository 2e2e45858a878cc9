"""nuScenes' tables and map → info files and BEV labels.

Tables (:mod:`tables`) and map (:mod:`map_layers`) → planes of one frame (:mod:`raster`, :mod:`boxes`,
:mod:`label_maker`), for all frames by :mod:`converter`, or for a share of them on each machine (:mod:`shards`).
"""
