"""Around the stages of a build: what follows from the options, what an earlier run has left, what is made again."""
