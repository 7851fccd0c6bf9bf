// Numbers of nf_tables' netlink interface (include/uapi/linux/netfilter/nf_tables.h).

export const message = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  delChain: 5,
  newRule: 6,
  getRule: 7,
  delRule: 8,
  newSet: 9,
  getSet: 10,
  delSet: 11,
  newElement: 12,
  getElement: 13,
  delElement: 14,
  newObject: 18,
  getObject: 19,
  delObject: 20,
} as const;

export const table = { name: 1, flags: 2, owner: 7 } as const;
export const tableFlag = { dormant: 1, owner: 2, persist: 4 } as const;
export const chain = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
export const hook = { number: 1, priority: 2 } as const;
export const hookNumbers = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export const rule = { table: 1, chain: 2, handle: 3, expressions: 4, userdata: 7 } as const;
export const object = { table: 1, name: 2, type: 3, data: 4 } as const;
export const objectCounter = 1;
export const counter = { bytes: 1, packets: 2 } as const;

export const set = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  description: 9,
  id: 10,
  timeout: 11,
  userdata: 13,
  objectType: 15,
} as const;
export const setFlag = {
  anonymous: 0x1,
  constant: 0x2,
  interval: 0x4,
  map: 0x8,
  timeout: 0x10,
  object: 0x40,
  concat: 0x80,
} as const;
export const setDescription = { size: 1, concat: 2 } as const;
export const fieldLength = 1;
/** Key order of a set, for nft's listings: userdata type 0. */
export const setUserdata = { keyByteOrder: 0, dataByteOrder: 1 } as const;
export const byteOrder = { host: 1, big: 2 } as const;

export const elementList = { table: 1, set: 2, elements: 3, setId: 4 } as const;
export const element = { key: 1, data: 2, flags: 3, object: 9, keyEnd: 10 } as const;
export const elementFlag = { intervalEnd: 1 } as const;
export const data = { value: 1, verdict: 2 } as const;
export const verdict = { code: 1, chain: 2 } as const;
export const verdictCodes = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
export const dataTypeVerdict = 0xffffff00;

export const listElement = 1;
export const expression = { name: 1, data: 2 } as const;
