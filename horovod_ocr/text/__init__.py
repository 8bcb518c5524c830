"""Letters and numbers: `charset` (label <-> ids), `decode` (scores -> reading), `metrics` (reading against label)."""
