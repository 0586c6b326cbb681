"""The numbers of the remoting protocol, as RocketMQ 4.x has them: what is asked, and how it is answered.

Names are RocketMQ's own (``RequestCode``, ``ResponseCode``), its misspelt one too, so that they can be looked up.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = ["PullFlag", "Request", "Response"]


class Request(IntEnum):
    """What this broker and name server answers. Any other number gets REQUEST_CODE_NOT_SUPPORTED."""

    SEND_MESSAGE = 10
    PULL_MESSAGE = 11
    QUERY_CONSUMER_OFFSET = 14
    UPDATE_CONSUMER_OFFSET = 15
    UPDATE_AND_CREATE_TOPIC = 17
    SEARCH_OFFSET_BY_TIMESTAMP = 29
    GET_MAX_OFFSET = 30
    GET_MIN_OFFSET = 31
    VIEW_MESSAGE_BY_ID = 33
    HEART_BEAT = 34
    UNREGISTER_CLIENT = 35
    CONSUMER_SEND_MSG_BACK = 36
    GET_CONSUMER_LIST_BY_GROUP = 38
    GET_ROUTEINTO_BY_TOPIC = 105
    GET_KV_CONFIG_BY_VALUE = 217
    SEND_MESSAGE_V2 = 310


class Response(IntEnum):
    """How it went."""

    SUCCESS = 0
    SYSTEM_ERROR = 1
    REQUEST_CODE_NOT_SUPPORTED = 3
    MESSAGE_ILLEGAL = 13
    SERVICE_NOT_AVAILABLE = 14
    NO_PERMISSION = 16
    TOPIC_NOT_EXIST = 17
    PULL_NOT_FOUND = 19
    PULL_RETRY_IMMEDIATELY = 20
    PULL_OFFSET_MOVED = 21
    QUERY_NOT_FOUND = 22
    SUBSCRIPTION_PARSE_FAILED = 23
    SUBSCRIPTION_NOT_EXIST = 24


class PullFlag(IntFlag):
    """``sysFlag`` of a pull."""

    COMMIT_OFFSET = 1
    """``commitOffset`` is the group's, up to where it has consumed."""
    SUSPEND = 2
    """It may wait."""
    SUBSCRIPTION = 4
    """``subscription`` says which tags; otherwise it is what the last heartbeat said."""
