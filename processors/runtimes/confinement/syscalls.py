"""System calls that a runner has no business with, and their numbers.

Source: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (aarch64).
"""

import os
from typing import Final

_COLUMN = {"x86_64": 0, "aarch64": 1}

LAST_KNOWN: Final = 470
"""Higher numbers are newer than this table and answered as if the kernel did not have them yet."""

# Numbers from 424 on are the same everywhere; -1: the architecture has none.
DENIED: Final = {
    # Sockets to anywhere; datagrams of a socket pair would reach any path, so pairs are restricted in seccomp.py.
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242), "bind": (49, 200),
    "listen": (50, 201),
    # Processes
    "fork": (57, -1), "vfork": (58, -1), "execveat": (322, 281), "setsid": (112, 157), "setpgid": (109, 154),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "get_robust_list": (274, 100),
    # Signals to others
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    # The priority, processors and memory of others
    "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "sched_setaffinity": (203, 122), "ioprio_set": (251, 30),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # Changes to files that Landlock knows nothing of
    "creat": (85, -1), "truncate": (76, 45), "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "mknod": (133, -1), "mknodat": (259, 33), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "sync": (162, 81), "syncfs": (306, 267),
    # Being told what others do with files
    "inotify_init": (253, -1), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    # Memory shared with others, or out of reach of the memory limit
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183), "mq_notify": (244, 184), "mq_getsetattr": (245, 185),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "remap_file_pages": (216, 234),
    # Mounts, namespaces, roots
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "statmount": (457, 457), "listmount": (458, 458), "open_tree_attr": (467, 467), "listns": (470, 470),
    # Identity and rules of the process itself
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setgroups": (116, 159), "setresuid": (117, 147), "setresgid": (119, 149), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "capset": (126, 91), "personality": (135, 92), "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446),
    "lsm_set_self_attr": (460, 460), "modify_ldt": (154, -1),
    # Parts of the kernel with a history of holes, or with nothing for a function in them
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_setup": (206, 0), "io_destroy": (207, 1), "io_submit": (209, 2),
    "io_cancel": (210, 3), "io_getevents": (208, 4), "io_pgetevents": (333, 292), "vmsplice": (278, 75),
    # The machine
    "reboot": (169, 142), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "swapon": (167, 224), "swapoff": (168, 225),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "syslog": (103, 116), "vhangup": (153, 58), "iopl": (172, -1), "ioperm": (173, -1),
    "lookup_dcookie": (212, 18), "uselib": (134, -1), "_sysctl": (156, -1), "ustat": (136, -1), "sysfs": (139, -1),
}  # fmt: skip
"""Answered with EPERM."""

ABSENT: Final = {"clone3": (435, 435), "openat2": (437, 437)}
"""Answered with ENOSYS: their arguments are in memory, where a filter cannot see them; libraries then use the old ones,
which are checked."""

CHECKED: Final = {
    "clone": (56, 220), "execve": (59, 221), "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261),
    "open": (2, -1), "openat": (257, 56), "mmap": (9, 222), "fcntl": (72, 25), "ioctl": (16, 29),
    "prctl": (157, 167), "socketpair": (53, 199),
}  # fmt: skip
"""Allowed or not by their arguments."""

_NUMBERS = {**DENIED, **ABSENT, **CHECKED}


def number_of(name: str) -> int:
    """On this machine; -1 if its architecture has no such call, or is none that the table knows."""
    column = _COLUMN.get(os.uname().machine)
    return -1 if column is None else _NUMBERS[name][column]
