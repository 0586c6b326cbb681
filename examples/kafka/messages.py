"""The messages of topics and their logs, and those by which a client and the broker get to know each other.

Each is described once, for all the versions that are offered: those that librdkafka, kafka-python and aiokafka ask for.
"""

from __future__ import annotations

from typing import Final

from .fields import (
    BOOL,
    INT8,
    INT16,
    INT32,
    INT64,
    NULLABLE_STRING,
    RECORDS,
    STRING,
    Api,
    Array,
    Field,
    Schema,
)

__all__ = ["API_VERSIONS", "CREATE_TOPICS", "FETCH", "LIST_OFFSETS", "METADATA", "PRODUCE"]

_UNKNOWN_OPERATIONS: Final = -(1 << 31)
"""What a client may do is not told: there is nothing that it may not."""

_PRODUCE: Final = Schema(
    Field("transactional_id", NULLABLE_STRING),
    Field("acks", INT16),
    Field("timeout_ms", INT32),
    Field(
        "topics",
        Array(Field("name", STRING), Field("partitions", Array(Field("index", INT32), Field("records", RECORDS)))),
    ),
    flexible=9,
)
_PRODUCED: Final = Schema(
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field(
                "partitions",
                Array(
                    Field("index", INT32),
                    Field("error_code", INT16),
                    Field("base_offset", INT64, default=-1),
                    Field("log_append_time_ms", INT64, default=-1),
                    Field("log_start_offset", INT64, since=5, default=-1),
                    Field(
                        "record_errors",
                        Array(Field("batch_index", INT32), Field("message", NULLABLE_STRING)),
                        since=8,
                    ),
                    Field("error_message", NULLABLE_STRING, since=8),
                ),
            ),
        ),
    ),
    Field("throttle_time_ms", INT32),
    flexible=9,
)
PRODUCE: Final = Api(0, 3, 9, _PRODUCE, _PRODUCED)

_FETCH: Final = Schema(
    Field("replica_id", INT32),
    Field("max_wait_ms", INT32),
    Field("min_bytes", INT32),
    Field("max_bytes", INT32),
    Field("isolation_level", INT8),
    Field("session_id", INT32, since=7),
    Field("session_epoch", INT32, since=7, default=-1),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field(
                "partitions",
                Array(
                    Field("index", INT32),
                    Field("current_leader_epoch", INT32, since=9, default=-1),
                    Field("fetch_offset", INT64),
                    Field("last_fetched_epoch", INT32, since=12, default=-1),
                    Field("log_start_offset", INT64, since=5, default=-1),
                    Field("partition_max_bytes", INT32),
                ),
            ),
        ),
    ),
    Field(
        "forgotten_topics",
        Array(Field("name", STRING), Field("partitions", Array(INT32))),
        since=7,
    ),
    Field("rack_id", STRING, since=11),
    flexible=12,
)
_FETCHED: Final = Schema(
    Field("throttle_time_ms", INT32),
    Field("error_code", INT16, since=7),
    Field("session_id", INT32, since=7),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field(
                "partitions",
                Array(
                    Field("index", INT32),
                    Field("error_code", INT16),
                    Field("high_watermark", INT64, default=-1),
                    Field("last_stable_offset", INT64, default=-1),
                    Field("log_start_offset", INT64, since=5, default=-1),
                    Field(
                        "aborted_transactions",
                        Array(Field("producer_id", INT64), Field("first_offset", INT64), nullable=True),
                    ),
                    Field("preferred_read_replica", INT32, since=11, default=-1),
                    Field("records", RECORDS),
                ),
            ),
        ),
    ),
    flexible=12,
)
FETCH: Final = Api(1, 4, 12, _FETCH, _FETCHED)

_LIST_OFFSETS: Final = Schema(
    Field("replica_id", INT32),
    Field("isolation_level", INT8, since=2),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field(
                "partitions",
                Array(
                    Field("index", INT32),
                    Field("current_leader_epoch", INT32, since=4, default=-1),
                    Field("timestamp", INT64),
                ),
            ),
        ),
    ),
    flexible=6,
)
_LISTED_OFFSETS: Final = Schema(
    Field("throttle_time_ms", INT32, since=2),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field(
                "partitions",
                Array(
                    Field("index", INT32),
                    Field("error_code", INT16),
                    Field("timestamp", INT64, default=-1),
                    Field("offset", INT64, default=-1),
                    Field("leader_epoch", INT32, since=4, default=-1),
                ),
            ),
        ),
    ),
    flexible=6,
)
LIST_OFFSETS: Final = Api(2, 1, 6, _LIST_OFFSETS, _LISTED_OFFSETS)

_METADATA: Final = Schema(
    Field("topics", Array(Field("name", STRING), nullable=True)),
    Field("allow_auto_topic_creation", BOOL, since=4, default=True),
    Field("include_cluster_authorized_operations", BOOL, since=8),
    Field("include_topic_authorized_operations", BOOL, since=8),
    flexible=9,
)
_TOLD_METADATA: Final = Schema(
    Field("throttle_time_ms", INT32, since=3),
    Field(
        "brokers",
        Array(
            Field("node_id", INT32),
            Field("host", STRING),
            Field("port", INT32),
            Field("rack", NULLABLE_STRING, since=1),
        ),
    ),
    Field("cluster_id", NULLABLE_STRING, since=2),
    Field("controller_id", INT32, since=1),
    Field(
        "topics",
        Array(
            Field("error_code", INT16),
            Field("name", STRING),
            Field("is_internal", BOOL, since=1),
            Field(
                "partitions",
                Array(
                    Field("error_code", INT16),
                    Field("index", INT32),
                    Field("leader_id", INT32),
                    Field("leader_epoch", INT32, since=7),
                    Field("replica_nodes", Array(INT32)),
                    Field("isr_nodes", Array(INT32)),
                    Field("offline_replicas", Array(INT32), since=5),
                ),
            ),
            Field("topic_authorized_operations", INT32, since=8, default=_UNKNOWN_OPERATIONS),
        ),
    ),
    Field("cluster_authorized_operations", INT32, since=8, default=_UNKNOWN_OPERATIONS),
    flexible=9,
)
METADATA: Final = Api(3, 0, 9, _METADATA, _TOLD_METADATA)

_CREATE_TOPICS: Final = Schema(
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field("num_partitions", INT32),
            Field("replication_factor", INT16),
            Field("assignments", Array(Field("partition_index", INT32), Field("broker_ids", Array(INT32)))),
            Field("configs", Array(Field("name", STRING), Field("value", NULLABLE_STRING))),
        ),
    ),
    Field("timeout_ms", INT32),
    Field("validate_only", BOOL, since=1),
    flexible=5,
)
_CREATED_TOPICS: Final = Schema(
    Field("throttle_time_ms", INT32, since=2),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field("error_code", INT16),
            Field("error_message", NULLABLE_STRING, since=1),
            Field("num_partitions", INT32, since=5, default=-1),
            Field("replication_factor", INT16, since=5, default=-1),
            Field(
                "configs",
                Array(
                    Field("name", STRING),
                    Field("value", NULLABLE_STRING),
                    Field("read_only", BOOL),
                    Field("config_source", INT8),
                    Field("is_sensitive", BOOL),
                ),
                since=5,
            ),
        ),
    ),
    flexible=5,
)
CREATE_TOPICS: Final = Api(19, 0, 5, _CREATE_TOPICS, _CREATED_TOPICS)

_API_VERSIONS: Final = Schema(
    Field("client_software_name", STRING, since=3),
    Field("client_software_version", STRING, since=3),
    flexible=3,
)
_TOLD_API_VERSIONS: Final = Schema(
    Field("error_code", INT16),
    Field("api_keys", Array(Field("api_key", INT16), Field("min_version", INT16), Field("max_version", INT16))),
    Field("throttle_time_ms", INT32, since=1),
    flexible=3,
)
API_VERSIONS: Final = Api(18, 0, 3, _API_VERSIONS, _TOLD_API_VERSIONS)
