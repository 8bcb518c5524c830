"""What a reader of shards may import: index.json, .idx, the tar, splits, frames and script profiles."""
