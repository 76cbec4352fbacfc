import { createHash } from 'node:crypto';
import type { ResourceAddress } from '@chaperone/api';
import { parseIpv4Range, parseIpv6Range, writeIpv4, writeIpv6 } from './ip.ts';

export interface AddressBookOptions {
  /** CIDR, /8 to /30. */
  readonly ipv4: string;
  /** CIDR with at least as many addresses. */
  readonly ipv6: string;
  /** How long a released address stays unused: clients and caches may still know it under its old name. */
  readonly quarantineMs?: number;
}

const QUARANTINE_MS = 600_000;

/**
 * Which virtual address each host name has. One name has one address, one address has one name; the address of a name depends
 * on the name first, so that it is the same again wherever nothing is in its way. The caller passes the time (ms).
 */
export class AddressBook {
  readonly #base4: number;
  readonly #base6: bigint;
  readonly #quarantineMs: number;
  /** Network and broadcast address are left out. */
  readonly capacity: number;
  readonly range: string;
  readonly #slots = new Map<string, number>();
  readonly #names = new Map<number, string>();
  readonly #released = new Map<number, { at: number; host: string }>();

  constructor(options: AddressBookOptions) {
    const ipv4 = parseIpv4Range(options.ipv4);
    this.#base4 = ipv4.base;
    this.capacity = ipv4.size - 2;
    this.#base6 = parseIpv6Range(options.ipv6, BigInt(ipv4.size)).base;
    this.#quarantineMs = options.quarantineMs ?? QUARANTINE_MS;
    this.range = options.ipv4;
  }

  get used(): number {
    return this.#slots.size;
  }

  lookup(host: string): ResourceAddress | undefined {
    const slot = this.#slots.get(host);
    return slot === undefined ? undefined : this.#write(host, slot);
  }

  /** Takes over an address that a status records. False if it is outside the range, or the name or the address is taken. */
  restore(address: ResourceAddress): boolean {
    const slot = this.#slotOf(address.ipv4);
    if (slot === undefined) return false;
    if (this.#slots.get(address.host) === slot) return true;
    if (this.#slots.has(address.host) || this.#names.has(slot)) return false;
    this.#take(address.host, slot);
    return true;
  }

  /** The name's address, new if it has none; undefined when no address is free. */
  allocate(host: string, now: number): ResourceAddress | undefined {
    const known = this.lookup(host);
    if (known !== undefined) return known;
    const start = createHash('sha256').update(host).digest().readUInt32BE(0) % this.capacity;
    for (let step = 0; step < this.capacity; step += 1) {
      const slot = ((start + step) % this.capacity) + 1;
      if (!this.#isFree(slot, host, now)) continue;
      this.#take(host, slot);
      return this.#write(host, slot);
    }
    return undefined;
  }

  release(host: string, now: number): void {
    const slot = this.#slots.get(host);
    if (slot === undefined) return;
    this.#slots.delete(host);
    this.#names.delete(slot);
    this.#released.set(slot, { at: now, host });
  }

  /** Releases every name that is not in use any more. */
  retain(inUse: ReadonlySet<string>, now: number): void {
    for (const host of this.#slots.keys()) if (!inUse.has(host)) this.release(host, now);
    for (const [slot, released] of this.#released) if (now - released.at >= this.#quarantineMs) this.#released.delete(slot);
  }

  #isFree(slot: number, host: string, now: number): boolean {
    if (this.#names.has(slot)) return false;
    const released = this.#released.get(slot);
    return released === undefined || released.host === host || now - released.at >= this.#quarantineMs;
  }

  #take(host: string, slot: number): void {
    this.#released.delete(slot);
    this.#slots.set(host, slot);
    this.#names.set(slot, host);
  }

  #write(host: string, slot: number): ResourceAddress {
    return { host, ipv4: writeIpv4(this.#base4 + slot), ipv6: writeIpv6(this.#base6 + BigInt(slot)) };
  }

  #slotOf(ipv4: string): number | undefined {
    let address: number;
    try {
      address = parseIpv4Range(`${ipv4}/32`).base;
    } catch {
      return undefined;
    }
    const slot = address - this.#base4;
    return slot >= 1 && slot <= this.capacity ? slot : undefined;
  }
}
