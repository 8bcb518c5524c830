"""The sizes of images, by the kind of sample. No torch."""

from horovod_ocr.config.train import NetworkConfig
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ConfigError


def geometry_of(kind: str, network: NetworkConfig, bucket_edges: tuple[float, ...]) -> Geometry:
    """Words keep their aspect, and are grey. Images of classes are stretched to a square, in colour unless `pixels` is
    grey.

    kind, bucket_edges: of a shard set's index. ConfigError if words are to be in colour.
    """
    if kind == "classes":
        return Geometry(network.height, bucket_edges, network.height, 1 if network.pixels == "grey" else 3)
    if network.pixels == "rgb":
        raise ConfigError("pixels is rgb, and words are read in grey; leave it out, or give grey")
    return Geometry(network.height, bucket_edges)
