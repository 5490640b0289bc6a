"""The search path of Python runners: it holds `hookmill_runtime` and nothing else of ours."""
