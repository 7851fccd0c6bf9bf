// The packages behind the client, loaded when a store is opened and not when a program starts: etcd3 alone takes 140 ms.
// By import() of the packages themselves, so that this also holds inside a bundle.

export interface EtcdModules {
  readonly Etcd3: typeof import('etcd3').Etcd3;
  readonly InterceptingCall: typeof import('@grpc/grpc-js').InterceptingCall;
}

export async function loadEtcdModules(): Promise<EtcdModules> {
  const [{ Etcd3 }, { InterceptingCall }] = await Promise.all([import('etcd3'), import('@grpc/grpc-js')]);
  return { Etcd3, InterceptingCall };
}
