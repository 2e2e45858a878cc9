"""Classes, label groups, info files and PNG labels. :mod:`nuscenes` converts the nuScenes data set into them."""
