/*
 * A plugin of qemu-user that counts instructions and system calls of the program it runs, in a file that can be
 * read at any time: numbers of 64 bits, that of the instructions and then that of each system call by its number,
 * as MIPS has them from 4000 on.
 *
 *     qemu-mipsel -plugin count.so,into=FILE PROGRAM ...
 *
 * Debian has no header of QEMU's plugins (API version 1); what is used of it is declared here.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*callback)(uint64_t id, struct qemu_plugin_tb *block));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, enum qemu_plugin_op op, void *at,
					      uint64_t value);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id,
					  void (*callback)(uint64_t id, unsigned int cpu, int64_t number, uint64_t,
							   uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
							   uint64_t));

int qemu_plugin_version = 1;

enum { FIRST = 4000, CALLS = 1000, BYTES = (1 + CALLS) * sizeof(uint64_t) };

static volatile uint64_t *counts;

static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, (void *)&counts[0],
						 qemu_plugin_tb_n_insns(block));
}

static void called(uint64_t id, unsigned int cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		   uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
	(void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
	if (number >= FIRST && number < FIRST + CALLS)
		counts[1 + number - FIRST]++;
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	int file;

	(void)info;
	if (argc != 1 || strncmp(argv[0], "into=", 5))
		return -1;
	file = open(argv[0] + 5, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (file < 0 || ftruncate(file, BYTES))
		return -1;
	counts = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (counts == MAP_FAILED)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_vcpu_syscall_cb(id, called);
	return 0;
}
