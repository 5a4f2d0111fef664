// @ts-check

/** Arguments for the client's tests that leave out those over the fallback. */
export const NATIVE_ONLY = { QUIESCE_ETCD_TEST_TRANSPORT: 'native' };
