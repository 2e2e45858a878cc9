"""nuScenes → info files and BEV labels.

Tables (:mod:`records`, :mod:`tables`) and map (:mod:`map_layers`) → planes of one frame (:mod:`raster`, :mod:`boxes`,
:mod:`label_maker`) → files (:mod:`codec`, :mod:`infos`, :mod:`layout`), for all frames by :mod:`converter`,
or for a share of them on each of many machines (:mod:`shards`).
"""
