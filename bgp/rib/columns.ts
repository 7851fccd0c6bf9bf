// Columns: typed arrays indexed by a small id (prefix, path, attribute set), grown by doubling. A row of the RIB is one
// id across several columns, so a million routes are a few allocations and nothing for the garbage collector to walk.

export type Column = Uint8Array | Uint16Array | Uint32Array;

/** The same column with room for index `capacity - 1` at least; the array itself when it has that already. */
export function grow32(column: Uint32Array, capacity: number): Uint32Array {
  if (column.length >= capacity) return column;
  const larger = new Uint32Array(grownCapacity(column.length, capacity));
  larger.set(column);
  return larger;
}

export function grow16(column: Uint16Array, capacity: number): Uint16Array {
  if (column.length >= capacity) return column;
  const larger = new Uint16Array(grownCapacity(column.length, capacity));
  larger.set(column);
  return larger;
}

export function grow8(column: Uint8Array, capacity: number): Uint8Array {
  if (column.length >= capacity) return column;
  const larger = new Uint8Array(grownCapacity(column.length, capacity));
  larger.set(column);
  return larger;
}

/** Doubles while small; grows by half when large, where slack is what costs. */
function grownCapacity(length: number, needed: number): number {
  const step = length < 1 << 20 ? length : length >> 1;
  return Math.max(needed, length + step, 64);
}

/** A list of ids that keeps its memory between uses. */
export class IdList {
  ids: Uint32Array = new Uint32Array(64);
  length = 0;

  push(id: number): void {
    if (this.length === this.ids.length) this.ids = grow32(this.ids, this.length + 1);
    this.ids[this.length++] = id;
  }

  clear(): void {
    this.length = 0;
  }
}
