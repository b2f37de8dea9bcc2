"""Keep a run's log and state; know nothing of combinators."""
