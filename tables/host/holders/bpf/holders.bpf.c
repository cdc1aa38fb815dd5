// SPDX-License-Identifier: (MIT OR GPL-2.0)
// Lists who has sockets open: a record of socket inode, process and file
// descriptor for each file that is a socket. An iterator over the files of all
// tasks (Linux 5.8), in which the kernel shows the files that a thread shares with
// the first one of its process once. Others, which a thread keeps apart
// (unshare(CLONE_FILES)), are its process's too. It only reads.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// The parts of the kernel's structures that are read; where they are in the
// kernel that runs is found when the program is loaded (CO-RE).
#define CORE __attribute__((preserve_access_index))

struct inode {
	u16 i_mode;
	unsigned long i_ino;
} CORE;

struct file {
	struct inode *f_inode;
} CORE;

struct task_struct {
	int tgid;
} CORE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
} CORE;

static long (*seq_write)(struct seq_file *seq, const void *data, u32 len) = (void *)127; // BPF_FUNC_seq_write

// S_IFMT and S_IFSOCK of include/uapi/linux/stat.h.
#define TYPE 0170000
#define SOCKET 0140000

struct record {
	u64 inode;
	u32 pid;
	u32 fd;
};

__attribute__((section("iter/task_file"), used))
int holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (!task || !file)
		return 0;
	struct inode *inode = file->f_inode;
	if ((inode->i_mode & TYPE) != SOCKET)
		return 0;
	struct record r = {
		.inode = inode->i_ino,
		.pid = task->tgid,
		.fd = ctx->fd,
	};
	seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

char module_license[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
