from threading import Thread

import pytest

from core.ml.inference.channel import Channel, Closed


def test_items_come_out_in_order():
    channel: Channel[int] = Channel(3)
    for item in range(3):
        channel.put(item)
    assert [channel.get() for _ in range(3)] == [0, 1, 2]


def test_a_full_channel_holds_its_writer_back():
    channel: Channel[int] = Channel(2)

    def write() -> None:
        for item in range(5):
            channel.put(item)

    writer = Thread(target=write)
    writer.start()
    writer.join(timeout=0.05)
    assert writer.is_alive()
    assert [channel.get() for _ in range(5)] == list(range(5))
    writer.join()


@pytest.mark.parametrize("waits", [lambda channel: channel.put(2), lambda channel: channel.get()])
def test_closing_wakes_whoever_waits(waits):
    channel: Channel[int] = Channel(1)
    if "put" in waits.__code__.co_names:
        channel.put(1)
    outcomes: list[type] = []

    def wait() -> None:
        try:
            waits(channel)
        except Closed as closed:
            outcomes.append(type(closed))

    waiter = Thread(target=wait)
    waiter.start()
    waiter.join(timeout=0.05)
    assert waiter.is_alive()
    channel.close()
    waiter.join(timeout=5)
    assert outcomes == [Closed]


def test_a_reader_knows_whether_it_would_wait():
    channel: Channel[int] = Channel(1)
    assert channel.would_wait()
    channel.put(1)
    assert not channel.would_wait()
