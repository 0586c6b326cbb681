"""Tests of the Kafka log and broker."""
