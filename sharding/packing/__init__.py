"""Write shards, reject lists and the index, each under another name and then renamed."""
