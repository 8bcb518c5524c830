"""What a person looks at afterwards: `score` is the table and eval.json of an evaluation."""
