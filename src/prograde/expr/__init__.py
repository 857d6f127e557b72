"""The condition language of metrics: lexer, parser, checker, evaluator (pure)."""
