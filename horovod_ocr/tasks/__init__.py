"""What is learnt of samples, and how that is scored. Nothing outside this package asks which task it is."""
