"""What bytebufs costs, and what the same costs by other means. Nothing here is a timed test.

python -m benchmarks [NAME ...] [--quick] [--json FILE] [--plot DIR]

_harness     cells, contenders and goals; how a cell is measured
_sinks       where bytes go: a socket that somebody reads, a file in memory
_servers     servers in processes of their own
_netty       Netty's CompositeByteBuf, where Java and Debian's libnetty-java are
framing      cut a stream into frames
reading      read numbers
growth       what an operation costs as parts become many
search       find and compare
flushing     send a message
serving      send a file behind a header
memory       how much memory a message takes
receiving    receive frames, and what they pin
echo         servers: echo, memory of idle connections, files
captures     the HTTP example on a capture
logs         the logs of the Kafka and RocketMQ examples, and the Kafka broker
programs     six protocols, as programs speak them
others       others' parsers, with our buffer in the place of theirs
calls        what each call costs on a small message
_report      a run as JSON, and as tables on the terminal
_summary     what comes of the results: docs/performance.md, and the numbers of README
_page        docs/performance/ from the results that are kept: the grids, and how they were measured
_figures     plots of them
_plots       a hook of mkdocs that draws them
"""
