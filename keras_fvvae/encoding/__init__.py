"""Bulk encoding: items over processes, shards and Apache Beam."""
