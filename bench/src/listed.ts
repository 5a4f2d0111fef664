// What a measured process needs to know of the list. It loads nothing else, as that would count as its memory.

/** What the keys start with, as in bench/go/list.go. */
export const LIST_PREFIX = 'list/';

/** Default number of keys in a page, also in bench/go/main.go. */
export const LIST_PAGE_SIZE = 10_000;
