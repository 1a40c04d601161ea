/*
 * services - what a policy can ask of a running daemon: a new config epoch, and messages of its
 * own.
 *
 * Owner     the engine whose policy calls.
 */
#pragma once

struct api_services;
struct engine;

/* Adds to what setup_services() has filled in. The queues and the spool must be there. */
void services_fill(struct engine *e, struct api_services *out);
