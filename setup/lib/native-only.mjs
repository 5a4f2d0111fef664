// @ts-check

/** For the client's tests: without those over the fallback. */
export const NATIVE_ONLY = { QUIESCE_ETCD_TEST_TRANSPORT: 'native' };
