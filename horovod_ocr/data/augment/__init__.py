"""Random changes to a training image. Each draws from the sample's own generator, never from a rank's or a worker's."""
