/* An audio player for baresip 1.0 that writes what it plays into WAV files, as time passes: one for each sampling rate and number of channels, named after
 * the device. baresip itself has none, and its module that dumps sound ends its dump at a hold. What is declared here is its interface as of 1.0. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct auplay;
struct list;

struct auplay_prm {
	uint32_t srate;
	uint8_t ch;
	uint32_t ptime;
	int fmt;
};

struct mod_export {
	const char *name;
	const char *type;
	int (*init)(void);
	int (*close)(void);
};

typedef void (auplay_write_h)(void *sampv, size_t sampc, void *arg);

struct auplay_st {
	/* Where its own players have what they are of. */
	const struct auplay *ap;
	pthread_t thread;
	volatile bool run;
	struct auplay_prm prm;
	auplay_write_h *wh;
	void *arg;
	FILE *file;
};

typedef int (auplay_alloc_h)(struct auplay_st **stp, const struct auplay *ap, struct auplay_prm *prm, const char *device, auplay_write_h *wh, void *arg);

int auplay_register(struct auplay **ap, struct list *list, const char *name, auplay_alloc_h *alloch);
struct list *baresip_auplayl(void);
void *mem_zalloc(size_t size, void (*destructor)(void *));
void *mem_deref(void *data);

enum { MAX_SAMPLES = 48000 };

static struct auplay *player;

static void word(FILE *file, uint32_t value, int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		fputc(value & 0xff, file);
}

/* Lengths that nobody knows yet are the largest there are. */
static void header(FILE *file, uint32_t srate, uint32_t ch)
{
	fputs("RIFF", file);
	word(file, 0xffffffff, 4);
	fputs("WAVEfmt ", file);
	word(file, 16, 4);
	word(file, 1, 2);
	word(file, ch, 2);
	word(file, srate, 4);
	word(file, srate * ch * 2, 4);
	word(file, ch * 2, 2);
	word(file, 16, 2);
	fputs("data", file);
	word(file, 0xffffffff, 4);
}

static void *play(void *arg)
{
	struct auplay_st *st = arg;
	static __thread int16_t samples[MAX_SAMPLES];
	const size_t count = (size_t)st->prm.srate * st->prm.ch * st->prm.ptime / 1000;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	while (st->run && count <= MAX_SAMPLES) {
		st->wh(samples, count, st->arg);
		fwrite(samples, sizeof(*samples), count, st->file);
		fflush(st->file);
		next.tv_nsec += st->prm.ptime * 1000000L;
		if (next.tv_nsec >= 1000000000L) {
			next.tv_nsec -= 1000000000L;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return NULL;
}

static void destructor(void *arg)
{
	struct auplay_st *st = arg;

	if (st->run) {
		st->run = false;
		pthread_join(st->thread, NULL);
	}
	if (st->file)
		fclose(st->file);
}

static int alloc(struct auplay_st **stp, const struct auplay *ap, struct auplay_prm *prm, const char *device, auplay_write_h *wh, void *arg)
{
	struct auplay_st *st = mem_zalloc(sizeof(*st), destructor);
	char name[512];

	if (!st)
		return 12;
	st->ap = ap;
	st->prm = *prm;
	st->wh = wh;
	st->arg = arg;
	snprintf(name, sizeof(name), "%s-%u-%u.wav", device, prm->srate, prm->ch);
	st->file = fopen(name, "ab");
	if (st->file && ftell(st->file) == 0)
		header(st->file, prm->srate, prm->ch);
	st->run = true;
	if (!st->file || pthread_create(&st->thread, NULL, play, st)) {
		st->run = false;
		mem_deref(st);
		return 5;
	}
	*stp = st;
	return 0;
}

static int init(void)
{
	return auplay_register(&player, baresip_auplayl(), "recorder", alloc);
}

static int finish(void)
{
	player = mem_deref(player);
	return 0;
}

const struct mod_export exports = {"recorder", "auplay", init, finish};
