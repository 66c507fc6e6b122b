"""Free memory as the kernel's tables tell it."""

from geounet.inference.engines.main_memory import find_available

GIB = 2**30


def make_root(folder, groups, *, cgroup, free=8 * GIB):
    """A root folder with the kernel's tables of one process."""
    files = {
        "proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {free // 1024} kB\n",
        "proc/self/cgroup": cgroup,
    }
    for name, values in groups.items():
        files |= {f"sys/fs/cgroup/{name}/{key}": f"{value}\n" for key, value in values.items()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_without_limits_what_the_kernel_says(tmp_path):
    limitless = {"memory.max": "max", "memory.current": 5 * GIB, "memory.stat": "active_file 0"}
    root = make_root(tmp_path, {".": limitless, "a": limitless}, cgroup="0::/a\n")
    assert find_available(root) == 8 * GIB


def test_the_cache_of_a_group_is_free(tmp_path):
    stat = f"anon 7\nactive_file {2 * GIB}\ninactive_file {GIB}"
    group = {"memory.max": 4 * GIB, "memory.current": int(3.5 * GIB), "memory.stat": stat}
    assert find_available(make_root(tmp_path, {".": group}, cgroup="0::/\n")) == int(3.5 * GIB)


def test_limits_of_outer_groups_hold_too(tmp_path):
    inner = {"memory.max": 6 * GIB, "memory.current": GIB, "memory.stat": "active_file 0"}
    outer = {"memory.max": 5 * GIB, "memory.current": 3 * GIB, "memory.stat": "active_file 0"}
    groups = {"slurm/job/step": inner, "slurm/job": outer}
    assert find_available(make_root(tmp_path, groups, cgroup="0::/slurm/job/step\n")) == 2 * GIB


def test_the_first_cgroups_and_groups_that_cannot_be_seen(tmp_path):
    stat = f"active_file 1\ntotal_active_file {GIB}\ntotal_inactive_file {GIB}"
    group = {
        "memory.limit_in_bytes": 4 * GIB,
        "memory.usage_in_bytes": 4 * GIB,
        "memory.stat": stat,
    }
    cgroup = "4:cpu:/x\n3:hugetlb,memory:/docker/unseen\n0::/\n"
    assert find_available(make_root(tmp_path, {"memory": group}, cgroup=cgroup)) == 2 * GIB


def test_a_group_that_is_over_its_limit_has_nothing_left(tmp_path):
    group = {"memory.max": GIB, "memory.current": 2 * GIB, "memory.stat": "active_file 0"}
    assert find_available(make_root(tmp_path, {".": group}, cgroup="0::/\n")) == 0
