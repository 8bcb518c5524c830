"""What kind of sample is trained. Nothing outside this package asks which kind it is."""
