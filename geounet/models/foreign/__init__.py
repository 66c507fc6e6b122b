"""Networks of others: by name, or as files of their tools."""
