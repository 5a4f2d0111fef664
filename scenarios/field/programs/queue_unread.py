# A child that put more into a queue than its pipe holds is joined before anybody reads it.
import multiprocessing


def work(queue):
    queue.put(b"x" * 10_000_000)


if __name__ == "__main__":
    queue = multiprocessing.Queue()
    child = multiprocessing.Process(target=work, args=(queue,))
    child.start()
    child.join()
