"""What `bls2017 benchmark` measures; nothing else imports this package."""
