"""The store of examples/rocketmq: its log, its queues, and what is left of them after a crash."""
