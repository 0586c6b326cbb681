"""The messages of consumer groups, of their offsets, and of producers' ids.

Left out are the versions that know static members (``group.instance.id``): JoinGroup from 5 on, SyncGroup, Heartbeat
and LeaveGroup from 3 on, OffsetCommit from 7 on. Clients take the newest that both sides know.
"""

from __future__ import annotations

from typing import Final

from .fields import BOOL, BYTES, INT8, INT16, INT32, INT64, NULLABLE_STRING, STRING, Api, Array, Field, Schema

__all__ = [
    "FIND_COORDINATOR",
    "HEARTBEAT",
    "INIT_PRODUCER_ID",
    "JOIN_GROUP",
    "LEAVE_GROUP",
    "OFFSET_COMMIT",
    "OFFSET_FETCH",
    "SYNC_GROUP",
]

_FIND_COORDINATOR: Final = Schema(
    Field("key", STRING, until=3),
    Field("key_type", INT8, since=1),
    Field("coordinator_keys", Array(STRING), since=4),
    flexible=3,
)
_FOUND: Final = Schema(
    Field("throttle_time_ms", INT32, since=1),
    Field("error_code", INT16, until=3),
    Field("error_message", NULLABLE_STRING, since=1, until=3),
    Field("node_id", INT32, until=3),
    Field("host", STRING, until=3),
    Field("port", INT32, until=3),
    Field(
        "coordinators",
        Array(
            Field("key", STRING),
            Field("node_id", INT32),
            Field("host", STRING),
            Field("port", INT32),
            Field("error_code", INT16),
            Field("error_message", NULLABLE_STRING),
        ),
        since=4,
    ),
    flexible=3,
)
FIND_COORDINATOR: Final = Api(10, 0, 4, _FIND_COORDINATOR, _FOUND)

_JOIN: Final = Schema(
    Field("group_id", STRING),
    Field("session_timeout_ms", INT32),
    Field("rebalance_timeout_ms", INT32, since=1, default=-1),
    Field("member_id", STRING),
    Field("protocol_type", STRING),
    Field("protocols", Array(Field("name", STRING), Field("metadata", BYTES))),
)
_JOINED: Final = Schema(
    Field("throttle_time_ms", INT32, since=2),
    Field("error_code", INT16),
    Field("generation_id", INT32, default=-1),
    Field("protocol_name", STRING),
    Field("leader", STRING),
    Field("member_id", STRING),
    Field("members", Array(Field("member_id", STRING), Field("metadata", BYTES))),
)
JOIN_GROUP: Final = Api(11, 0, 4, _JOIN, _JOINED)

_SYNC: Final = Schema(
    Field("group_id", STRING),
    Field("generation_id", INT32),
    Field("member_id", STRING),
    Field("assignments", Array(Field("member_id", STRING), Field("assignment", BYTES))),
)
_SYNCED: Final = Schema(
    Field("throttle_time_ms", INT32, since=1),
    Field("error_code", INT16),
    Field("assignment", BYTES),
)
SYNC_GROUP: Final = Api(14, 0, 2, _SYNC, _SYNCED)

_ERROR: Final = Schema(Field("throttle_time_ms", INT32, since=1), Field("error_code", INT16))
_HEARTBEAT: Final = Schema(Field("group_id", STRING), Field("generation_id", INT32), Field("member_id", STRING))
HEARTBEAT: Final = Api(12, 0, 2, _HEARTBEAT, _ERROR)

_LEAVE: Final = Schema(Field("group_id", STRING), Field("member_id", STRING))
LEAVE_GROUP: Final = Api(13, 0, 2, _LEAVE, _ERROR)

_COMMIT: Final = Schema(
    Field("group_id", STRING),
    Field("generation_id", INT32),
    Field("member_id", STRING),
    Field("retention_time_ms", INT64, until=4, default=-1),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field(
                "partitions",
                Array(
                    Field("partition_index", INT32),
                    Field("committed_offset", INT64),
                    Field("committed_leader_epoch", INT32, since=6, default=-1),
                    Field("committed_metadata", NULLABLE_STRING),
                ),
            ),
        ),
    ),
)
_COMMITTED: Final = Schema(
    Field("throttle_time_ms", INT32, since=3),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field("partitions", Array(Field("partition_index", INT32), Field("error_code", INT16))),
        ),
    ),
)
OFFSET_COMMIT: Final = Api(8, 2, 6, _COMMIT, _COMMITTED)

_FETCH_OFFSETS: Final = Schema(
    Field("group_id", STRING),
    Field("topics", Array(Field("name", STRING), Field("partition_indexes", Array(INT32)), nullable=True)),
    Field("require_stable", BOOL, since=7),
    flexible=6,
)
_FETCHED_OFFSETS: Final = Schema(
    Field("throttle_time_ms", INT32, since=3),
    Field(
        "topics",
        Array(
            Field("name", STRING),
            Field(
                "partitions",
                Array(
                    Field("partition_index", INT32),
                    Field("committed_offset", INT64),
                    Field("committed_leader_epoch", INT32, since=5, default=-1),
                    Field("metadata", NULLABLE_STRING),
                    Field("error_code", INT16),
                ),
            ),
        ),
    ),
    Field("error_code", INT16, since=2),
    flexible=6,
)
OFFSET_FETCH: Final = Api(9, 1, 7, _FETCH_OFFSETS, _FETCHED_OFFSETS)

_INIT_PRODUCER: Final = Schema(
    Field("transactional_id", NULLABLE_STRING),
    Field("transaction_timeout_ms", INT32),
    Field("producer_id", INT64, since=3, default=-1),
    Field("producer_epoch", INT16, since=3, default=-1),
    flexible=2,
)
_PRODUCER: Final = Schema(
    Field("throttle_time_ms", INT32),
    Field("error_code", INT16),
    Field("producer_id", INT64, default=-1),
    Field("producer_epoch", INT16, default=-1),
    flexible=2,
)
INIT_PRODUCER_ID: Final = Api(22, 0, 4, _INIT_PRODUCER, _PRODUCER)
