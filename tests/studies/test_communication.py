"""What a step moves between devices: read from a program, its cost on a ring, the tables of the page."""

from pathlib import Path

from experiments.benchmarks.communication.hlo import CommunicationModel, Traffic, traffic
from support.scripts import load_script

HLO = """HloModule jit_step, num_partitions=3
  %all-reduce.1 = f32[128,4]{1,0} all-reduce(%a), channel_id=1, replica_groups={{0,1,2,3}}, use_global_device_ids=true
  %all-reduce.2 = (f32[8]{0}, /*index=1*/bf16[4]{0}) all-reduce(%b, %c), channel_id=2, replica_groups=[1,4]<=[4], to_apply=%add
  %ag = f32[64]{0} all-gather(%d), channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}
  %rs = f32[16]{0} reduce-scatter(%e), channel_id=4, replica_groups={{0,1},{2,3}}, dimensions={0}
  %cp = (u8[10]{0}, u8[10]{0}) collective-permute-start(%f), channel_id=5, source_target_pairs={{0,1}}
  %done = u8[10]{0} collective-permute-done(%cp)
  %fusion = f32[9]{0} fusion(%all-reduce.1), kind=kLoop, calls=%computation
  %all = f32[3]{0} all-gather(%g), channel_id=6, replica_groups={}, dimensions={0}
  %ags = ((f32[8]{0}, f32[4]{0}), (f32[32]{0}, f32[16]{0})) all-gather-start(%h, %i), channel_id=7, replica_groups={{0,1,2,3}}
  %one = (bf16[2,3]{1,0:T(8,128)(2,1)}, bf16[8,3]{1,0:T(8,128)(2,1)}) all-gather-start(%j), channel_id=8, replica_groups=[1,4]<=[4]
"""


def test_traffic_is_read_from_a_program():
    assert traffic(HLO) == [
        Traffic("all-reduce", 128 * 4 * 4, 4),
        Traffic("all-reduce", 8 * 4 + 4 * 2, 4),
        Traffic("all-gather", 16 * 4, 4),
        Traffic("reduce-scatter", 32 * 4, 2),
        Traffic("collective-permute", 10, 3),
        Traffic("all-gather", 4, 3),
        Traffic("all-gather", 8 * 4 + 4 * 4, 4),  # combined by the compiler: both operands
        Traffic("all-gather", 2 * 3 * 2, 4),
    ]


def test_cost_on_a_ring_by_hand():
    # 8 devices, 100 bytes at 10 bytes/s, messages of 1 s: 2 * 7/8 * 10 + 14 = 31.5; all-gather 7 * 10 + 7; permute 10 + 1.
    model = CommunicationModel(bandwidth=10.0, latency=1.0)
    assert model.seconds([Traffic("all-reduce", 100, 8)], 8) == 31.5
    assert model.seconds([Traffic("all-gather", 100, 8), Traffic("collective-permute", 100, 0)], 8) == 77 + 11
    assert model.seconds([Traffic("reduce-scatter", 100, 8)], 8) == 8.75 + 7
    assert model.seconds([Traffic("all-reduce", 100, 1)], 1) == 0


def test_the_page_has_the_tables_of_what_is_moved():
    communication = load_script("communication")
    docs = Path(__file__).parents[2] / "docs"
    rows = communication.read_rows(docs / "data" / "communication.jsonl")
    assert {(row.recipe, row.devices) for row in rows} == {("dcgan_mnist", 2), ("dcgan_mnist", 4), ("dcgan_mnist", 8), ("sngan", 8)}
    page = (docs / "distributed.md").read_text()
    assert communication.moved_table(rows) in page
    assert communication.time_table(rows, communication.LINKS) in page
