"""What functions may rely on, rule by rule, as a table that both languages are held to."""
