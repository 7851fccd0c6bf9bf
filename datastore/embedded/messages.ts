// The messages of rpc.proto as proto-loader gives and takes them: 64-bit numbers as decimal strings, enums by name, every
// field present in what comes in, and optional in what goes out.

export interface Header {
  readonly cluster_id: string;
  readonly member_id: string;
  readonly revision: number;
  readonly raft_term: number;
}

export interface KeyValue {
  readonly key: Buffer;
  readonly create_revision: number;
  readonly mod_revision: number;
  readonly version: number;
  readonly value?: Buffer;
  readonly lease: string;
}

export interface RangeRequest {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly limit: string;
  readonly revision: string;
  readonly sort_order: 'NONE' | 'ASCEND' | 'DESCEND';
  readonly sort_target: 'KEY' | 'VERSION' | 'CREATE' | 'MOD' | 'VALUE';
  readonly keys_only: boolean;
  readonly count_only: boolean;
  readonly min_mod_revision: string;
  readonly max_mod_revision: string;
  readonly min_create_revision: string;
  readonly max_create_revision: string;
}

export interface RangeResponse {
  readonly header?: Header;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: string;
  readonly prev_kv: boolean;
  readonly ignore_value: boolean;
  readonly ignore_lease: boolean;
}

export interface PutResponse {
  readonly header?: Header;
  readonly prev_kv?: KeyValue;
}

export interface DeleteRangeRequest {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly prev_kv: boolean;
}

export interface DeleteRangeResponse {
  readonly header?: Header;
  readonly deleted: number;
  readonly prev_kvs: readonly KeyValue[];
}

export interface RequestOp {
  readonly request_range?: RangeRequest;
  readonly request_put?: PutRequest;
  readonly request_delete_range?: DeleteRangeRequest;
  readonly request_txn?: TxnRequest;
}

export type ResponseOp =
  | { readonly response_range: RangeResponse }
  | { readonly response_put: PutResponse }
  | { readonly response_delete_range: DeleteRangeResponse }
  | { readonly response_txn: TxnResponse };

export interface Compare {
  readonly result: 'EQUAL' | 'GREATER' | 'LESS' | 'NOT_EQUAL';
  readonly target: 'VERSION' | 'CREATE' | 'MOD' | 'VALUE' | 'LEASE';
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly version?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly value?: Buffer;
  readonly lease?: string;
}

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface TxnResponse {
  readonly header?: Header;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export interface WatchCreateRequest {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly start_revision: string;
  readonly progress_notify: boolean;
  readonly filters: readonly ('NOPUT' | 'NODELETE')[];
  readonly prev_kv: boolean;
  readonly watch_id: string;
  readonly fragment: boolean;
}

export interface WatchRequest {
  readonly create_request?: WatchCreateRequest;
  readonly cancel_request?: { readonly watch_id: string };
  readonly progress_request?: object;
}

export interface WatchEventMessage {
  readonly type: 'PUT' | 'DELETE';
  readonly kv: Partial<KeyValue>;
  readonly prev_kv?: KeyValue;
}

export interface WatchResponse {
  readonly header: Header;
  readonly watch_id: string;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compact_revision?: number;
  readonly cancel_reason?: string;
  readonly fragment?: boolean;
  readonly events?: readonly WatchEventMessage[];
}
