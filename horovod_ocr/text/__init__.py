"""Letters and numbers: `charset` (label <-> targets), `decode` (scores -> label), `metrics` (label against label)."""
