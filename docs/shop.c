// A small order service to profile: a gateway, two workers that share a lock, and a journal on disk.
//   gcc -O1 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls -pthread -o shop docs/shop.c && ./shop 10
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Every function stays a frame of its own.
#define FUNCTION __attribute__((noinline, noclone)) static

static pthread_mutex_t stock_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t stock[4096];
static int orders[2], entries[2];
static volatile int closing;

FUNCTION void nap(long microseconds) {
    nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL);
}
FUNCTION void lock(pthread_mutex_t *mutex) { pthread_mutex_lock(mutex); }
FUNCTION ssize_t receive(int pipe, char *line, size_t size) { return read(pipe, line, size); }
FUNCTION void send(int pipe, const char *line, size_t size) {
    if (write(pipe, line, size) < 0) exit(1);
}
FUNCTION void flush(int file) { fdatasync(file); }

FUNCTION uint64_t checksum(const char *line, size_t size) {
    uint64_t hash = 14695981039346656037u;
    for (int round = 0; round < 1000; round++)
        for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)line[i]) * 1099511628211u;
    return hash;
}
FUNCTION uint64_t parse_order(const char *line, size_t size) { return checksum(line, size); }

FUNCTION uint64_t find_offers(uint64_t order) {
    uint64_t best = 0;
    for (int i = 0; i < 800000; i++) {
        order = order * 6364136223846793005u + 1;
        best = order > best ? order : best;
    }
    return best;
}
FUNCTION uint64_t apply_discounts(uint64_t price) {
    for (int i = 0; i < 400000; i++) price = price * 2862933555777941757u + 3037000493u;
    return price;
}
FUNCTION uint64_t price_order(uint64_t order) { return apply_discounts(find_offers(order)); }

FUNCTION void ask_warehouse(void) { nap(3000); }
FUNCTION void update_stock(uint64_t order) {
    for (int i = 0; i < 300000; i++) stock[(order + i) % 4096] += order >> i % 32;
}
// The mistake in this program: the warehouse is asked with the lock held.
FUNCTION void reserve_stock(uint64_t order) {
    lock(&stock_lock);
    update_stock(order);
    if (order % 2 == 0) ask_warehouse();
    pthread_mutex_unlock(&stock_lock);
}

FUNCTION void handle_order(char *line, size_t size) {
    uint64_t order = price_order(parse_order(line, size));
    reserve_stock(order);
    send(entries[1], line, size);
}
FUNCTION void *worker(void *unused) {
    char line[64];
    ssize_t size;
    while ((size = receive(orders[0], line, sizeof line)) > 0) handle_order(line, (size_t)size);
    return unused;
}

FUNCTION void sync_journal(int file) { flush(file); }
FUNCTION void *journal(void *unused) {
    char lines[4096];
    ssize_t size;
    int file = open("shop.journal", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    while ((size = receive(entries[0], lines, sizeof lines)) > 0) {
        send(file, lines, (size_t)size);
        sync_journal(file);
    }
    return unused;
}

FUNCTION void wait_for_customer(void) { nap(3000); }
FUNCTION void *gateway(void *unused) {
    char line[64] = {0};
    for (uint64_t i = 0; !closing; i++) {
        memcpy(line, &i, sizeof i);
        send(orders[1], line, sizeof line);
        wait_for_customer();
    }
    close(orders[1]);
    return unused;
}

int main(int count, char **words) {
    struct { void *(*run)(void *); const char *name; pthread_t thread; } threads[] = {
        {gateway, "gateway", 0}, {worker, "worker", 0}, {worker, "worker", 0}, {journal, "journal", 0},
    };
    if (pipe(orders) || pipe(entries)) return 1;
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i].thread, NULL, threads[i].run, NULL);
        pthread_setname_np(threads[i].thread, threads[i].name);
    }
    sleep(count > 1 ? (unsigned)atoi(words[1]) : 10);
    closing = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i].thread, NULL);
    close(entries[1]);
    pthread_join(threads[3].thread, NULL);
    unlink("shop.journal");
}
